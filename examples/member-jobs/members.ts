import type { SessionPrincipal } from 'jobchart'
import { memberJobs } from 'jobchart/presets'

/** How members' jobs live, who may do what with them, and how a table shows them. */
export const members = memberJobs()

/** The members of one organization, as its own directory knows them. */
export const people = {
  ada: { id: 'ada', tenant: 'atlas', role: 'Administrator' },
  ed: { id: 'ed', tenant: 'atlas', role: 'Editor' },
  eve: { id: 'eve', tenant: 'atlas', role: 'Editor' },
} as const satisfies { readonly [name: string]: SessionPrincipal }
