/** Starts agents as processes, and answers their requests. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Engine } from 'jobchart'
import { type AgentRequest, answerAgent } from 'jobchart/agents'

/** An agent as its process. */
export interface Box {
  readonly process: ChildProcess
  /** Resolves with the next request of this kind. It is answered when `resume` is called. */
  readonly next: (call: AgentRequest['call']) => Promise<{ readonly resume: () => Promise<unknown> }>
  readonly end: () => Promise<void>
}

/** Starts an agent that is enrolled: it is known by its credential. */
export async function startBox(engine: Engine, credential: string, version: string, ...pools: string[]): Promise<Box> {
  const { agents } = await engine.authenticateAgent(credential)
  const child = fork(fileURLToPath(new URL('agent.ts', import.meta.url)), [version, ...pools])
  const held = new Map<string, (request: { readonly resume: () => Promise<unknown> }) => void>()
  child.on('message', ({ number, request }: { readonly number: number; readonly request: AgentRequest }) => {
    const resume = async () => {
      const answer = await answerAgent(agents, request)
      if (child.connected) child.send({ number, answer }, () => {})
      return answer
    }
    const hold = held.get(request.call)
    held.delete(request.call)
    if (hold === undefined) void resume()
    else hold({ resume })
  })
  const registered = new Promise<void>((resolve) => {
    held.set('register', ({ resume }) => void resume().then(() => resolve()))
  })
  await registered
  return {
    process: child,
    next: (call) => new Promise((resolve) => held.set(call, resolve)),
    end: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}
