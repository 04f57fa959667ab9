/**
 * The code that runs in a worker thread. It runs the code of one task at a time, and talks to the engine over a port.
 */
import type { MessagePort } from 'node:worker_threads'
import { runCode } from '../context/run-code.ts'
import type { ToCode, ToEngine, Wire } from '../context/wire.ts'

/** The message that starts one task in the thread. */
export interface ThreadTask {
  readonly module: string
  readonly port: MessagePort
}

/** Runs one task. Resolves when the task's end has been reported. */
export async function runInThread({ module, port }: ThreadTask): Promise<void> {
  const wire: Wire<ToEngine, ToCode> = {
    post: (message) => port.postMessage(message),
    listen: (listener) => port.on('message', listener),
  }
  try {
    await runCode(wire, () => import(module))
  } finally {
    port.close()
  }
}
