/** Whether a pause of the type `paused` holds for jobs of `type`: it is that type, or the type of a child job of it. */
export function isOfPaused(type: string, paused: string): boolean {
  return type === paused || type.startsWith(`${paused}/`)
}
