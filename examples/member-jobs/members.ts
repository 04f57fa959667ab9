import type { SessionPrincipal } from 'jobchart'
import { memberJobs } from 'jobchart/presets'

/** The lifecycle of members' jobs, their rights, and their table. */
export const members = memberJobs()

/** The members of one organization, as in its directory. */
export const people = {
  ada: { id: 'ada', tenant: 'atlas', role: 'Administrator' },
  ed: { id: 'ed', tenant: 'atlas', role: 'Editor' },
  eve: { id: 'eve', tenant: 'atlas', role: 'Editor' },
} as const satisfies { readonly [name: string]: SessionPrincipal }
