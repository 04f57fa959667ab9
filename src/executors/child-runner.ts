/**
 * The program that runs in a child process. It runs the code of one task, and talks to the engine over IPC. Its first
 * argument is the URL of the code's module.
 */
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
// Exits even if the code has left timers or connections open.
process.exit(0)
