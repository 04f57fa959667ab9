export {
  type RegisterTest,
  type StorageConformanceOptions,
  type StorageUnderTest,
  storageConformance,
} from './storage-conformance.ts'
export { type VirtualClock, type VirtualClockOptions, virtualClock } from './virtual-clock.ts'
