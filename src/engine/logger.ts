/** What an engine logs for its operators: names, ids and errors, but no inputs or outputs of jobs. */
import { type JobError, jobError } from '../model/error.ts'
import type { EventOf, JobEvent } from '../model/event.ts'
import type { Logger } from '../port/logger.ts'
import type { Health } from './health.ts'
import type { OnPolicyError } from './policy-answer.ts'
import type { OnListenerError, Publisher } from './publisher.ts'

/** Logs failures of jobs, from the events of this engine's own commits. */
export function logEvents(publisher: Publisher, logger: Logger): void {
  const failed = (event: JobEvent<'job.created' | 'job.transitioned'>) => {
    if (event.outcome === 'failure')
      logger.error({ ...idsOf(event), status: event.to, ...errOf(event) }, 'a job failed')
  }
  publisher.on('job.created', failed)
  publisher.on('job.transitioned', failed)
  publisher.on('job.followUpFailed', (event) => {
    logger.error({ ...idsOf(event), kind: event.kind, ...errOf(event) }, 'a follow-up of a job failed')
  })
  publisher.on('task.retried', (event) => {
    const { task, attempt, availableAt } = event
    logger.warn(
      { ...idsOf(event), task, attempt, availableAt, ...errOf(event) },
      'an attempt failed and will be retried',
    )
  })
  publisher.on('task.lost', (event) => {
    const { task, attempt, reason } = event
    logger.warn({ ...idsOf(event), task, attempt, reason }, 'an attempt was lost')
  })
  publisher.on('task.abandoned', (event) => {
    logger.warn({ ...idsOf(event), task: event.task }, 'a task ignored its stop and was abandoned')
  })
}

/** Logs each change of an engine's health. */
export function logHealth({ status, error }: Health, logger: Logger): void {
  if (status === 'degraded') logger.error({ status, ...errOf({ error }) }, 'the storage fails')
  else if (status === 'exhausted') logger.error({ status }, 'too much code ignored its stop; restart the process')
  else logger.info({ status }, status === 'ok' ? 'the engine works' : 'the engine has stopped')
}

/** Logs failures of the policy, and then calls the host's own listener. */
export function loggingPolicyErrors(logger: Logger, listener: OnPolicyError | undefined): OnPolicyError {
  return (error, asked) => {
    const { id: principal, tenant } = asked.principal
    logger.error({ action: asked.action, principal, tenant, err: jobError(error) }, 'the policy failed')
    return listener?.(error, asked)
  }
}

/** Logs failures of listeners, and then calls the host's own listener for these. */
export function loggingListenerErrors(logger: Logger, listener: OnListenerError | undefined): OnListenerError {
  return (error, told) => {
    const of = 'type' in told ? { event: told.type, ...idsOf(told) } : { event: 'health' }
    logger.error({ ...of, err: jobError(error) }, 'a listener failed')
    return listener?.(error, told)
  }
}

function idsOf({ jobId, jobType, tenant, pipeline }: EventOf): object {
  return { ...(jobId === undefined ? {} : { jobId }), jobType, tenant, ...(pipeline === undefined ? {} : { pipeline }) }
}

// `err` is the name that loggers expect, and print with its stack.
function errOf({ error }: { readonly error?: JobError | undefined }): { readonly err?: JobError } {
  return error === undefined ? {} : { err: error }
}
