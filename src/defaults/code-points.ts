/** Compares texts by code points, as databases do, not by the rules of a language. */
export function byCodePoints(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** Compares by (tenant, id). */
export function byTenantAndId(a: TenantAndId, b: TenantAndId): number {
  return byCodePoints(a.tenant, b.tenant) || byCodePoints(a.id, b.id)
}

interface TenantAndId {
  readonly tenant: string
  readonly id: string
}
