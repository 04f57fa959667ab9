import { createHook } from 'node:async_hooks'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Measured } from './measure.ts'
import type { Subject } from './subjects/subject.ts'
import { openSubject } from './subjects.ts'
import { closedLoop, IN_FLIGHT, type Loaded, nameOf, warmUp } from './throughput.ts'

/**
 * Counts, by `async_hooks`, how many promises each job of a closed loop makes: with and without those of the loop
 * itself. The loop's own are counted on jobs that do nothing.
 *
 * @throws {Error}  there is no such subject, or the stored jobs are not as expected.
 */
export async function promises(loaded: Loaded): Promise<Measured> {
  await warmUp(loaded)
  const folder = join(loaded.folder, 'measured')
  await mkdir(folder)
  const subject = await openSubject(nameOf(loaded), { ...loaded, folder, concurrency: IN_FLIGHT })
  try {
    const made = await madeBy(subject, loaded.jobs)
    const ownPromises = made - (await madeBy({ complete: async () => {} }, loaded.jobs))
    return { figures: { promises: made, ownPromises }, facts: await subject.check(loaded.jobs) }
  } finally {
    await subject.close()
  }
}

/** How many promises are made for each job. */
async function madeBy(subject: Pick<Subject, 'complete'>, jobs: number): Promise<number> {
  let made = 0
  const hook = createHook({
    init: (_, type) => {
      if (type === 'PROMISE') made++
    },
  })
  hook.enable()
  try {
    await closedLoop(subject, jobs)
  } finally {
    hook.disable()
  }
  return made / jobs
}
