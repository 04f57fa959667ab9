/** What of a job no view and no event shows unless a policy opens it. */
export const PRIVATE_PARTS = ['state', 'context', 'tasks', 'emitted', 'stack'] as const

/**
 * A part of a job that is shown only where a policy opens it: the chart's state value, its context, the tasks with their
 * inboxes, what its `emit` actions carry, and the stack of an error.
 */
export type Private = (typeof PRIVATE_PARTS)[number]
