/**
 * An executor of one's own: it starts its tasks with a pause between them, as a service wants it that allows so many calls a
 * second. Other tasks are not held up.
 *
 *     npm run example examples/write-your-own-executor/main.ts
 *
 * The executor is in `executor.ts`, and the check of it in `check.ts`.
 */
import { createEngine, defineJob, memoryStorage } from 'jobchart'
import { z } from 'zod'
import { spaced } from './executor.ts'

const calledAt: number[] = []
const call = defineJob({
  type: 'call',
  input: z.object({ city: z.string() }),
  executor: 'service',
  execute: ({ input, log }) => {
    calledAt.push(performance.now())
    log(`asked for the weather of ${input.city}`)
    return input.city.length
  },
})

const service = spaced({ concurrency: 4, everyMs: 100 })
const engine = await createEngine({ jobs: [call], storage: memoryStorage(), executors: { service } })
const ada = engine.as({ id: 'ada', role: 'editor' })

const cities = ['Lima', 'Oslo', 'Rome', 'Cairo', 'Tokyo', 'Quito']
const jobs = await Promise.all(cities.map((city) => ada.submit(call, { city })))
console.log(
  `at once: ${engine.health.executors.service?.running} run, and ${engine.health.executors.service?.room} more`,
)
for (const { id } of jobs) {
  await ada.result(id)
  for await (const { text } of ada.logs(id)) console.log(text)
}
const pauses = calledAt.slice(1).map((at, index) => at - (calledAt[index] ?? 0))
console.log(`pauses of about 100 ms: ${pauses.filter((ms) => ms > 50).length} of ${pauses.length}`)
await engine.stop()

// Output:
// at once: 4 run, and 0 more
// asked for the weather of Lima
// asked for the weather of Oslo
// asked for the weather of Rome
// asked for the weather of Cairo
// asked for the weather of Tokyo
// asked for the weather of Quito
// pauses of about 100 ms: … of 5
