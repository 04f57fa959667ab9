/** The secrets by which enrolled agents identify themselves. Only their hashes are stored. */
import type { Clock } from '../port/clock.ts'

/** Makes a new credential: 43 characters, drawn at random. */
export function newCredential({ randomBytes }: Pick<Clock, 'randomBytes'>): string {
  return Buffer.from(randomBytes(32)).toString('base64url')
}

/**
 * The hash under which a credential is stored and found. A credential has 256 random bits, so it needs no slow hash:
 * nobody can guess it.
 */
export async function hashOf(credential: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(credential))
  return Buffer.from(digest).toString('hex')
}
