export { type Agent, type AgentOptions, type AgentStopOptions, createAgent } from './agent.ts'
export type { RunningTask } from './agent-run.ts'
export type { AgentRunOptions, RunnableFunction } from './runnable-function.ts'
export { type AgentAnswer, type AgentRequest, answerAgent, transportOver } from './transport-over.ts'
