/** An engine in a process of its own, for tests that kill it: `node host.ts <file> <folder> <jobs>`. */
import { createEngine, defineJob } from '../../src/index.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'

/** A program that notes its process, waits for a file `go`, and ends well. */
export function waiting(folder: string) {
  const script = 'echo "$JOBCHART_JOB $$" >> "$1/begun"; until [ -e "$1/go" ]; do sleep 0.02; done'
  return defineJob({
    type: 'waiting',
    killGrace: '100ms',
    run: { command: '/bin/sh', args: ['-c', script, 'sh', folder] },
  })
}

if (import.meta.main) {
  const [, , file = '', folder = '', jobs = '0'] = process.argv
  const type = waiting(folder)
  const engine = await createEngine({ jobs: [type], storage: sqliteStorage(file, { durability: 'normal' }) })
  const ada = engine.as({ id: 'ada', role: 'editor' })
  for (let job = 0; job < Number(jobs); job++) await ada.submit(type)
  console.log('submitted')
}
