export { type AgentsOptions, agents } from './agents.ts'
export { type ChildProcessOptions, childProcess } from './child-process.ts'
export { type WorkerThreadsOptions, workerThreads } from './worker-threads.ts'
