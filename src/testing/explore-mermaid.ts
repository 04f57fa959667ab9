import type { JobMap } from './explore-map.ts'

/**
 * A map as a Mermaid diagram, for a page or a pull request: the states by name, with the events between them.
 *
 * ```
 * stateDiagram-v2
 *   state "queued" as s0
 *   state "completed" as s1
 *   [*] --> s0
 *   s0 --> s1 : xstate.done.actor.execute
 *   s1 --> [*]
 * ```
 */
export function mermaidOf({ states, edges }: JobMap): string {
  const ids = new Map(states.map(({ name }, index) => [name, `s${index}`]))
  const arrows = Map.groupBy(edges, ({ from, to }) => `${ids.get(from)} --> ${ids.get(to)}`)
  const lines = [
    ...states.map(({ name }) => `state "${plain(name)}" as ${ids.get(name)}`),
    // The first event of a path is the submit.
    ...states.filter(({ path }) => path.length === 1).map(({ name }) => `[*] --> ${ids.get(name)}`),
    ...[...arrows].map(([arrow, same]) => `${arrow} : ${same.map(({ event }) => plain(event)).join(', ')}`),
    ...states.filter(({ phase }) => phase === 'settled').map(({ name }) => `${ids.get(name)} --> [*]`),
  ]
  return ['stateDiagram-v2', ...lines.map((line) => `  ${line}`), ''].join('\n')
}

// These characters end a text in Mermaid, which has no escape for all of them.
function plain(text: string): string {
  return text.replaceAll(/[":;#\s]+/g, ' ')
}
