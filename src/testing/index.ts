export { type AgentConformanceOptions, agentConformance, type TransportUnderTest } from './agent-conformance.ts'
export {
  type AuthorizationConformanceOptions,
  authorizationConformance,
  type PolicyUnderTest,
} from './authorization-conformance.ts'
export type { SampleTarget } from './authorization-samples.ts'
export {
  type ExecutorCode,
  type ExecutorConformanceOptions,
  executorConformance,
} from './executor-conformance.ts'
export { type ExploreOptions, explore } from './explore.ts'
export type { ExampleOptions, Untried } from './explore-examples.ts'
export type { DeadEnd, JobMap, MappedCommands, MappedEdge, MappedState, ThrowingCell } from './explore-map.ts'
export { mermaidOf } from './explore-mermaid.ts'
export {
  type NotifierConformanceOptions,
  type NotifierUnderTest,
  notifierConformance,
  type ReceivedDelivery,
} from './notifier-conformance.ts'
export {
  type RegisterTest,
  type StorageConformanceOptions,
  type StorageUnderTest,
  storageConformance,
} from './storage-conformance.ts'
export { type VirtualClock, type VirtualClockOptions, virtualClock } from './virtual-clock.ts'
