export {
  type MemberJobOptions,
  type MemberJobs,
  type MemberJobType,
  type MemberTaskContext,
  memberJobs,
} from './member-jobs.ts'
export type { Percent } from './member-percent.ts'
export type { MemberRoles } from './member-policy.ts'
export type { MemberColumn, MemberRow, MemberStatus } from './member-row.ts'
