import { createHook } from 'node:async_hooks'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Measured } from './measure.ts'
import { openSubject } from './subjects.ts'
import { closedLoop, IN_FLIGHT, type Loaded, nameOf, warmUp } from './throughput.ts'

/**
 * Counts, by `async_hooks`, how many promises each job of a closed loop makes. This includes a few of the client that
 * waits for the job's end.
 *
 * @throws {Error}  there is no such subject, or the stored jobs are not as expected.
 */
export async function promises(loaded: Loaded): Promise<Measured> {
  await warmUp(loaded)
  const folder = join(loaded.folder, 'measured')
  await mkdir(folder)
  const subject = await openSubject(nameOf(loaded), { ...loaded, folder, concurrency: IN_FLIGHT })
  let made = 0
  const hook = createHook({
    init: (_, type) => {
      if (type === 'PROMISE') made++
    },
  })
  try {
    hook.enable()
    await closedLoop(subject, loaded.jobs)
    hook.disable()
    return { figures: { promises: made / loaded.jobs }, facts: await subject.check(loaded.jobs) }
  } finally {
    await subject.close()
  }
}
