import type { Assignment, HistoryEntry, JobView } from 'jobchart'

/** The status of a tool's job. */
export type ToolJobStatus =
  | 'Pending'
  | 'Claimed'
  | 'Running'
  | 'Validating'
  | 'Uploading'
  | 'Completed'
  | 'Failed'
  | 'Canceled'

/** The file on which a tool works. */
export interface ToolFile {
  readonly id: string
  readonly name: string
  /** E.g. `application/zip`. */
  readonly type: string
  /** In bytes. */
  readonly size: number
}

/** A result of a job: an artifact or a model that the agent has stored. */
export interface ToolOutput {
  readonly type: 'artifact' | 'model'
  readonly id: string
  readonly revision?: string
}

/**
 * A tool's job as a row. Times are ISO 8601. `inputs` and `parameters` are absent, and named in `redacted`, for everyone
 * but the job's creator.
 */
export interface ToolJobRow {
  readonly id: string
  readonly tool: string | null
  readonly function: string | null
  /** Null: the job asked for no version. */
  readonly toolVersion: string | null
  readonly status: ToolJobStatus | null
  /** True in the states in which the job waits or an agent works on it. A screen shows a spinner. */
  readonly isActive: boolean
  /** When the job was started by its creator, which is before an agent has it. */
  readonly startedOn: string | null
  readonly startedBy: string | null
  /** `'Automatic'`, or the agent or pool that was asked for. */
  readonly agentAssignment: 'Automatic' | Assignment
  /** The pool that was asked for. Null: none was. */
  readonly poolAssignment: string | null
  /** The agent that has the job, or had it last. Null: none has it. */
  readonly agentId: string | null
  readonly agentName: string | null
  readonly inputs?: readonly Omit<ToolFile, 'id'>[]
  /** Null: the function takes none. */
  readonly parameters?: unknown
  /** Empty until the job is completed. */
  readonly outputs: readonly ToolOutput[]
  /** What became of the job, in a fixed text. Null: there is nothing to say. */
  readonly message: string | null
  readonly redacted?: readonly ('inputs' | 'parameters')[]
}

/** Shows a job as a row. */
export function toolJobRow(view: JobView): ToolJobRow {
  // A policy may have redacted any field, even one that the type `JobView` requires.
  const {
    id = '',
    status,
    phase,
    labels = {},
    createdAt,
    createdBy,
    assignment,
    agent,
    message,
    output,
  }: Partial<JobView> = view
  return {
    id,
    tool: labels.tool ?? null,
    function: labels.function ?? null,
    toolVersion: labels.version ?? null,
    // The cast is safe: these are the labels of this preset's lifecycle.
    status: (status ?? null) as ToolJobStatus | null,
    isActive: phase === 'active' || phase === 'waiting',
    startedOn: createdAt ?? null,
    startedBy: createdBy ?? null,
    agentAssignment: assignment ?? 'Automatic',
    poolAssignment: assignment?.pool ?? null,
    agentId: agent?.id ?? null,
    agentName: agent?.name ?? null,
    ...inputsOf(view),
    // The cast is safe: the schema of this preset has parsed the output.
    outputs: (output ?? []) as readonly ToolOutput[],
    message: message === undefined || message === '' ? null : message,
  }
}

function inputsOf(view: JobView): Pick<ToolJobRow, 'inputs' | 'parameters' | 'redacted'> {
  if (view.redacted?.includes('input') === true) return { redacted: ['inputs', 'parameters'] }
  // The cast is safe: the schema of this preset has parsed the input.
  const { file, parameters } = view.input as unknown as { readonly file: ToolFile; readonly parameters?: unknown }
  const { name, type, size } = file
  return { inputs: [{ name, type, size }], parameters: parameters ?? null }
}

/** An entry of a job's history. */
export interface ToolHistoryEntry {
  readonly id: string
  readonly jobId: string
  /** The status that the job took on. */
  readonly name: ToolJobStatus
  /** ISO 8601. */
  readonly created: string
  /** The person who caused the change. Null: no person did. */
  readonly createdById: string | null
  /** The agent that caused the change. Null: no agent did. */
  readonly agentIdentifier: string | null
  readonly message: string | null
}

/** Shows an entry of a job's history. */
export function toolHistoryEntry(jobId: string, { sequence, to, at, by, message }: HistoryEntry): ToolHistoryEntry {
  return {
    id: `${jobId}.${sequence}`,
    jobId,
    // The cast is safe: these are the labels of this preset's lifecycle.
    name: to as ToolJobStatus,
    created: at,
    createdById: by.kind === 'user' ? by.id : null,
    agentIdentifier: by.kind === 'agent' ? by.id : null,
    message: message === undefined || message === '' ? null : message,
  }
}

const SHORT_ID_CHARACTERS = 6

/** The beginning of a job's id, for a narrow column: `3f2a9c…`. */
export function shortId(id: string): string {
  return `${id.slice(0, SHORT_ID_CHARACTERS)}…`
}
