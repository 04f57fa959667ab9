/** Runs in a child process: the code of one task, with its context over IPC. The module's address is the first argument. */
import { runCode } from '../context/run-code.ts'
import type { ToCode, ToEngine, Wire } from '../context/wire.ts'

let sent: Promise<void> = Promise.resolve()
const wire: Wire<ToEngine, ToCode> = {
  post: (message) => {
    sent = new Promise((resolve) => process.send?.(message, () => resolve()))
  },
  listen: (listener) => process.on('message', (message) => listener(message as ToCode)),
}

const [, , module = ''] = process.argv
await runCode(wire, () => import(module))
await sent
// What the code has left open does not keep the process.
process.exit(0)
