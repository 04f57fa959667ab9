/** A process that puts process groups under its guard. It reads their numbers, one a line. */
import { createInterface } from 'node:readline'
import { ProcessGuard } from '../../src/executors/process-guard.ts'

const guard = new ProcessGuard()
for await (const group of createInterface({ input: process.stdin })) {
  void guard.guard(Number(group)).then(() => console.log(`guarded ${group}`))
  // The guard has been told, but may not have read it.
  console.log(`told ${group}`)
}
