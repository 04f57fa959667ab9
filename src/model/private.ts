/** The private parts of a job: shown only if a policy opens them. */
export const PRIVATE_PARTS = ['state', 'context', 'tasks', 'emitted', 'stack'] as const

/**
 * A part of a job that is shown only if a policy opens it: the chart's state value, its context, its tasks with their
 * inboxes, the payloads of its `emit` actions, and the stack of its error.
 */
export type Private = (typeof PRIVATE_PARTS)[number]
