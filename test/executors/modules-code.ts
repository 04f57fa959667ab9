import type { TaskContext } from 'jobchart'

/** What the code of a job is given. */
export interface Given {
  readonly does: 'reports' | 'crashes once' | 'listens' | 'ignores' | 'computes' | 'blocks'
}

const alive = () => new Promise<never>(() => setInterval(() => {}, 1_000))

/** The code of the jobs of modules.test.ts, in a process or a thread of its own. */
export async function work(context: TaskContext<Given>): Promise<unknown> {
  const { input, attempt, log, progress, item, step, send, inbox, signal, job, idempotencyKey } = context
  switch (input.does) {
    case 'reports': {
      log(`job ${job.type}, key ${idempotencyKey === '' ? 'none' : 'given'}`)
      progress({ completed: 1, total: 2 })
      await item('part', { status: 'failed', message: 'broken' })
      const taken = [await send({ type: 'HELLO' }), await send({ type: 'UNKNOWN' })]
      log(`taken ${taken}, stopped ${signal.aborted}`)
      return await step('one', () => 'made')
    }
    case 'crashes once': {
      const by = await step('first', () => `attempt ${attempt}`)
      if (attempt === 1) process.exit(9)
      log(`attempt ${attempt} has the step of ${by}`)
      return attempt
    }
    case 'listens': {
      log('listening')
      for await (const message of inbox) return message
      return 'nothing came'
    }
    case 'blocks': {
      log('blocking')
      await new Promise((resolve) => setTimeout(resolve, 20))
      // A system call: nothing ends its thread before it has returned.
      const { spawnSync } = await import('node:child_process')
      return spawnSync('sleep', ['0.5']).status
    }
    case 'ignores':
      log('ignoring')
      return await alive()
    case 'computes':
      log('computing')
      await new Promise((resolve) => setTimeout(resolve, 20))
      for (;;);
  }
}
