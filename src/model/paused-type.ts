/**
 * Whether a pause of the job type `paused` also holds for jobs of `type`: if `type` is `paused` itself, or is a type of
 * its child jobs (`paused/…`), at any depth.
 */
export function isOfPaused(type: string, paused: string): boolean {
  return type === paused || type.startsWith(`${paused}/`)
}
