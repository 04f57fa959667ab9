export {
  type AgentJobs,
  type AgentJobsOptions,
  agentJobs,
  type Tool,
  type ToolFunction,
  type ToolInput,
  type ToolJobType,
} from './agent-jobs.ts'
export {
  type BatchJobCommands,
  type BatchJobInput,
  type BatchJobs,
  type BatchJobsOptions,
  type BatchJobType,
  batchJobs,
  type FinalizeInput,
} from './batch-jobs.ts'
export type { BatchJobRow, BatchJobStatus } from './batch-row.ts'
export type { Digest, DigestInput, DigestType } from './digest.ts'
export { type ExecutionFacts, statusOf, type TaskExecutionRow, type TaskExecutionStatus } from './execution-row.ts'
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
export {
  type FunctionRunOptions,
  type PipelineJobs,
  type PipelineJobsOptions,
  type ProgramRunOptions,
  pipelineJobs,
  type RunCommands,
  type RunType,
  type RunTypeOptions,
  type UserTaskCommands,
  type UserTaskType,
  type WorkspacePipeline,
} from './pipeline-jobs.ts'
export type { NotifyOn, ProjectOptions, ProjectRow, ScrapingInterval } from './project.ts'
export type { PipelineJobRow, PipelineJobStatus } from './run-row.ts'
export {
  type FunctionExecutionOptions,
  type ProgramExecutionOptions,
  type TaskExecutions,
  type TaskExecutionType,
  taskExecutions,
} from './task-executions.ts'
export type { ToolRoles, ToolUse } from './tool-policy.ts'
export type { ToolFile, ToolHistoryEntry, ToolJobRow, ToolJobStatus, ToolOutput } from './tool-row.ts'
export type { WorkspaceRoles } from './workspace-policy.ts'
