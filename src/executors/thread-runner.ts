/** Runs in a worker thread: the code of one task, with its context over a port. */
import type { MessagePort } from 'node:worker_threads'
import { runCode } from '../context/run-code.ts'
import type { ToCode, ToEngine, Wire } from '../context/wire.ts'

/** What the thread is given for one task. */
export interface ThreadTask {
  readonly module: string
  readonly port: MessagePort
}

/** Runs one task; it resolves when the end has been reported. */
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
