import type { AgentKey, Lease } from '../model/agent.ts'
import type { Write } from '../port/storage.ts'
import type { Prepare, Row, Statement } from './statement.ts'

type LeaseWrite = Extract<Write, { readonly op: 'lease' }>
type ExpireWrite = Extract<Write, { readonly op: 'expire' }>

/** The end of a lease whose agent was removed. */
const REMOVED = 0
const COLUMNS = 'job, token, tenant, agent, until'

/** The leases under which agents hold tasks (S51 to S54). */
export class Leases {
  readonly #grant: Statement
  readonly #has: Statement
  readonly #renew: Statement
  readonly #expire: Statement
  readonly #expired: Statement
  readonly #extend: Statement
  readonly #ofAgent: Statement
  readonly #end: Statement
  readonly #removeOfJob: Statement

  constructor(prepare: Prepare) {
    this.#grant = prepare(`
      INSERT INTO leases (${COLUMNS}) VALUES (?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET tenant = excluded.tenant, agent = excluded.agent, until = excluded.until`)
    this.#has = prepare(`
      SELECT 1 FROM leases WHERE job = ? AND token = ? AND tenant = ? AND agent = ? AND until > ?`)
    this.#renew = prepare(`UPDATE leases SET until = max(until, ?) WHERE job = ? AND token = ?`)
    this.#expire = prepare(`DELETE FROM leases WHERE job = ? AND token = ? AND until <= ?`)
    this.#expired = prepare(`
      SELECT ${COLUMNS} FROM leases WHERE until <= ? ORDER BY until, job, token LIMIT ? OFFSET ?`)
    this.#extend = prepare(`UPDATE leases SET until = ? WHERE until > ${REMOVED} AND until < ?`)
    this.#ofAgent = prepare(`SELECT ${COLUMNS} FROM leases WHERE tenant = ? AND agent = ? ORDER BY job, token`)
    this.#end = prepare(`UPDATE leases SET until = ${REMOVED} WHERE tenant = ? AND agent = ?`)
    this.#removeOfJob = prepare(`DELETE FROM leases WHERE job = ?`)
  }

  /** Stores a lease. */
  grant({ jobId, token, agent, until }: Lease): void {
    this.#grant.run(jobId, token, agent.tenant, agent.id, until)
  }

  /**
   * Moves the end of a lease to a later time, if the write says so. Returns `false` if the agent has no such lease, or if
   * it has ended.
   */
  renew({ jobId, token, agent, at, until }: LeaseWrite): boolean {
    if (this.#has.get(jobId, token, agent.tenant, agent.id, at) === undefined) return false
    if (until !== undefined) this.#renew.run(until, jobId, token)
    return true
  }

  /** Removes a lease that has ended. Returns `false` if it has not. */
  expire({ jobId, token, at }: ExpireWrite): boolean {
    return Number(this.#expire.run(jobId, token, at).changes) > 0
  }

  /** Leases that have ended by `at`: at most `limit`, after the first `skip`. Those that ended first come first. */
  expired(at: number, limit: number, skip: number): readonly Lease[] {
    return this.#expired.all(at, limit, skip).map(leaseOf)
  }

  /** Lets every lease last until this time at least, except those of removed agents. */
  extend(until: number): void {
    this.#extend.run(until, until)
  }

  /** The leases of one agent, by job id and token. */
  of({ tenant, id }: AgentKey): readonly Lease[] {
    return this.#ofAgent.all(tenant, id).map(leaseOf)
  }

  /** Removes the leases of a job. */
  removeOfJob(jobId: string): void {
    this.#removeOfJob.run(jobId)
  }

  /** Ends all leases of an agent that is removed. */
  endOf({ tenant, id }: AgentKey): void {
    this.#end.run(tenant, id)
  }
}

function leaseOf([job, token, tenant, agent, until]: Row): Lease {
  return {
    jobId: String(job),
    token: Number(token),
    agent: { tenant: String(tenant), id: String(agent) },
    until: Number(until),
  }
}
