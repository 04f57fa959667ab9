// Code that awaits nothing of its context, in a process of its own, because Node ends a process with an unhandled
// rejection.
import { setTimeout as sleep } from 'node:timers/promises'
import { createEngine, defineJob, memoryStorage } from '../../src/index.ts'

const list = Array.from({ length: 20 }, (_, index) => index)

const loose = defineJob({
  type: 'loose',
  killGrace: 0,
  execute: async ({ item, step, send, input }) => {
    list.forEach(async (one) => {
      await sleep(one * 10)
      await item(`item ${one}`)
      await send({ type: 'ONE' })
      await step(`step ${one}`, () => one)
    })
    // It continues while it is cancelled, or long after it has returned.
    if (input === 'cancelled') await sleep(300)
  },
})

const engine = await createEngine({ jobs: [loose], storage: memoryStorage() })
const ada = engine.as({ id: 'ada', role: 'editor' })
const returning = await ada.submit(loose, 'returns')
const cancelled = await ada.submit(loose, 'cancelled')
await sleep(50)
await ada.cancel(cancelled.id)
await ada.result(returning.id)
await sleep(500)
await engine.stop()
console.log('alive')
if (process.argv[2] === 'own') {
  void Promise.reject(new Error('of the app'))
  await sleep(1_000)
  console.log('not reached')
}
