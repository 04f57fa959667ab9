import type { AgentKey, StoredAgent } from '../model/agent.ts'
import type { AgentPage, SeenAgent } from '../port/agent-storage.ts'
import type { Prepare, Row, Statement } from './statement.ts'

const LIST = 'SELECT body, seen_at FROM agents'

/** The agents (S54). `seen_at` is a column, because it changes often. The rest of the record is the text `body`. */
export class Agents {
  readonly #get: Statement
  readonly #revision: Statement
  readonly #withCredential: Statement
  readonly #put: Statement
  readonly #drop: Statement
  readonly #seen: Statement
  readonly #ofTenant: Statement
  readonly #all: Statement

  constructor(prepare: Prepare) {
    this.#get = prepare(`${LIST} WHERE tenant = ? AND id = ?`)
    this.#revision = prepare(`SELECT revision FROM agents WHERE tenant = ? AND id = ?`)
    this.#withCredential = prepare(`${LIST} WHERE credential = ?`)
    this.#put = prepare(`
      INSERT INTO agents (tenant, id, credential, revision, seen_at, body) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET credential = excluded.credential, revision = excluded.revision,
        seen_at = coalesce(max(seen_at, excluded.seen_at), seen_at, excluded.seen_at), body = excluded.body`)
    this.#drop = prepare(`DELETE FROM agents WHERE tenant = ? AND id = ?`)
    this.#seen = prepare(`
      UPDATE agents SET seen_at = ? WHERE tenant = ? AND id = ? AND (seen_at IS NULL OR seen_at < ?)`)
    this.#ofTenant = prepare(`${LIST} WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?`)
    this.#all = prepare(`${LIST} WHERE tenant > ? ORDER BY tenant, id LIMIT ?`)
  }

  /** The agent. `undefined`: there is none. */
  get({ tenant, id }: AgentKey): StoredAgent | undefined {
    return agentOf(this.#get.get(tenant, id))
  }

  /** The agent with this hash of its credential. */
  withCredential(hash: string): StoredAgent | undefined {
    return agentOf(this.#withCredential.get(hash))
  }

  /** One page of the agents. */
  page({ tenant, limit, after }: AgentPage): readonly StoredAgent[] {
    const own = tenant ?? after?.tenant
    const rows = own === undefined ? [] : this.#ofTenant.all(own, after?.id ?? '', limit)
    // Two queries, because SQLite reads all rows of the first tenant for `(tenant, id) > (?, ?)`.
    const others = tenant === undefined ? this.#all.all(after?.tenant ?? '', limit - rows.length) : []
    return [...rows, ...others].flatMap((row) => agentOf(row) ?? [])
  }

  /** Stores an agent. Returns `false` if the stored revision is not the one before. */
  put(agent: StoredAgent): boolean {
    const { tenant, id, credential, revision, seenAt, ...rest } = agent
    if (Number(this.#revision.get(tenant, id)?.[0] ?? 0) !== revision - 1) return false
    const body = JSON.stringify({ tenant, id, credential, revision, ...rest })
    this.#put.run(tenant, id, credential ?? null, revision, seenAt ?? null, body)
    return true
  }

  /** Removes an agent. */
  drop({ tenant, id }: AgentKey): void {
    this.#drop.run(tenant, id)
  }

  /** Stores when agents last called. */
  seen(seen: readonly SeenAgent[]): void {
    for (const { tenant, id, at } of seen) this.#seen.run(at, tenant, id, at)
  }
}

// The cast is safe, because `put` stored the text.
function agentOf(row: Row | undefined): StoredAgent | undefined {
  if (row === undefined) return undefined
  const [body, seenAt] = row
  const agent = JSON.parse(String(body)) as StoredAgent
  return seenAt === null ? agent : { ...agent, seenAt: Number(seenAt) }
}
