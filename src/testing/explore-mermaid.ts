import type { JobMap } from './explore-map.ts'

/**
 * Draws a map as a Mermaid diagram, for a page or a pull request. It shows the states by name, and the events between
 * them.
 *
 * ```
 * stateDiagram-v2
 * state "queued" as s0
 * state "completed" as s1
 * [*] --> s0
 * s0 --> s1 : xstate.done.actor.execute
 * s1 --> [*]
 * ```
 */
export function mermaidOf({ states, edges }: JobMap): string {
  const ids = new Map(states.map(({ name }, index) => [name, `s${index}`]))
  const arrows = Map.groupBy(edges, ({ from, to }) => `${ids.get(from)} --> ${ids.get(to)}`)
  const lines = [
    ...states.map(({ name }) => `state "${plain(name)}" as ${ids.get(name)}`),
    // A path of one event has only the submit, so its state is a start.
    ...states.filter(({ path }) => path.length === 1).map(({ name }) => `[*] --> ${ids.get(name)}`),
    ...[...arrows].map(([arrow, same]) => `${arrow} : ${same.map(({ event }) => plain(event)).join(', ')}`),
    ...states.filter(({ phase }) => phase === 'settled').map(({ name }) => `${ids.get(name)} --> [*]`),
  ]
  return ['stateDiagram-v2', ...lines.map((line) => `  ${line}`), ''].join('\n')
}

// Replaces the characters that would end a text in Mermaid. Mermaid does not have an escape for all of them.
function plain(text: string): string {
  return text.replaceAll(/[":;#\s]+/g, ' ')
}
