/** The part of a session that is about stored pipelines. */
import type { AnyJobType } from '../model/definition.ts'
import { begun, type CallOptions, idOf } from './call-options.ts'
import type { Call } from './notifications.ts'
import {
  type PipelineHistoryEntry,
  type PipelineHistoryOptions,
  pipelineHistory,
} from './operations/pipeline-history.ts'
import {
  definePipeline,
  deletePipeline,
  getPipeline,
  listPipelines,
  type PipelineCallOptions,
  type PipelineListOptions,
  type PipelineOptions,
  pausePipeline,
  type RunOptions,
  runPipeline,
} from './operations/pipelines.ts'
import { type PreviewOptions, previewSchedule, type ScheduleOptions } from './operations/schedules.ts'
import type { Page } from './page.ts'
import { runSchema } from './pipeline-options.ts'
import type { JobView, PipelineView } from './view.ts'

/**
 * What one principal can do with stored pipelines. A hidden pipeline gets the same answer as one that does not exist.
 */
export interface Pipelines {
  /**
   * Stores a pipeline, or changes the pipeline with this id. May be called at each start of an app. The owner stays the
   * principal who first defined it, and a paused pipeline stays paused.
   *
   * @throws {JobchartError} `INVALID_INPUT` (also if the id is in use but hidden from the caller), `NOT_STORABLE`, `FORBIDDEN`, `UNKNOWN_TYPE`, `STORAGE_UNAVAILABLE`, `OUTCOME_UNKNOWN` (defining it again is safe).
   */
  define<Type extends AnyJobType | string>(options: PipelineOptions<Type>, call?: CallOptions): Promise<PipelineView>
  /** Returns the pipeline. @throws {JobchartError} `PIPELINE_NOT_FOUND` */
  get(id: string, options?: PipelineCallOptions): Promise<PipelineView>
  /** Ordered by id. @throws {JobchartError} `FORBIDDEN`, `INVALID_INPUT` */
  list(options?: PipelineListOptions): Promise<Page<PipelineView>>
  /**
   * Submits a run: a job of the pipeline's type, with the pipeline's input and overlap rule. The caller becomes its
   * creator, and must be allowed to submit such a job. A caller who may not read the pipeline's input must give an
   * input.
   *
   * @throws {JobchartError} as `session.submit`; `PIPELINE_NOT_FOUND`; `INVALID_STATE` (the pipeline is paused).
   */
  run(id: string, options?: RunOptions): Promise<JobView>
  /**
   * Pauses the pipeline until `resume`: it takes no new runs, whether by `run`, `submit`, `retry` or a follow-up.
   * Existing runs go on. The reason, 1 to 200 characters, is shown.
   *
   * @throws {JobchartError} `PIPELINE_NOT_FOUND`, `FORBIDDEN`, `INVALID_INPUT`
   */
  pause(id: string, reason: string, options?: PipelineCallOptions): Promise<PipelineView>
  /** Lets a paused pipeline take new runs again. @throws {JobchartError} `PIPELINE_NOT_FOUND`, `FORBIDDEN` */
  resume(id: string, options?: PipelineCallOptions): Promise<PipelineView>
  /**
   * The next due times of a schedule, ISO 8601, so that an app can show them before the schedule is stored.
   *
   * @throws {JobchartError} `INVALID_INPUT`
   */
  preview(schedule: ScheduleOptions, options?: PreviewOptions): Promise<readonly string[]>
  /**
   * What happened to the pipeline itself, oldest first: definitions, pauses, changes of its status, and skipped runs.
   * Its runs are jobs, with their own history.
   *
   * @throws {JobchartError} `PIPELINE_NOT_FOUND`, `INVALID_INPUT`
   */
  history(id: string, options?: PipelineHistoryOptions): Promise<readonly PipelineHistoryEntry[]>
  /** Deletes the pipeline. Its jobs go on. @throws {JobchartError} `PIPELINE_NOT_FOUND`, `FORBIDDEN` */
  delete(id: string, options?: PipelineCallOptions): Promise<void>
}

/** The methods of `session.pipelines`. */
export function pipelinesOf(call: Call): Pipelines {
  return {
    define: (options, more) => call((core, who) => definePipeline(core, who, options, begun(more, []))),
    get: (id, options) => call((core, who) => getPipeline(core, who, idOf(id, 'pipeline'), begun(options, ['tenant']))),
    list: (options) => call((core, who) => listPipelines(core, who, begun(options))),
    run: (id, options) => call((core, who) => runPipeline(core, who, idOf(id, 'pipeline'), begun(options, runSchema))),
    pause: (id, reason, options) => {
      return call((core, who) => pausePipeline(core, who, idOf(id, 'pipeline'), { reason }, begun(options, ['tenant'])))
    },
    resume: (id, options) =>
      call((core, who) => pausePipeline(core, who, idOf(id, 'pipeline'), undefined, begun(options, ['tenant']))),
    preview: (schedule, options) => call((core) => previewSchedule(core, schedule, begun(options))),
    history: (id, options) => call((core, who) => pipelineHistory(core, who, idOf(id, 'pipeline'), begun(options))),
    delete: (id, options) =>
      call((core, who) => deletePipeline(core, who, idOf(id, 'pipeline'), begun(options, ['tenant']))),
  }
}
