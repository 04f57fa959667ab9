import type { AnyStateMachine, AnyStateNode } from 'xstate'
import { stateNodes } from './inert-machine.ts'

/**
 * Identifies the shape of a machine by what stored jobs depend on: its states, their events and targets, its delays,
 * its invokes. Function bodies, tags, labels and descriptions are left out, because stored jobs can live with changes
 * of those.
 *
 * @returns 16 hexadecimal digits.
 */
export function chartHash(machine: AnyStateMachine): string {
  return fnv1a(JSON.stringify(stateNodes(machine.root).map(shapeOf)))
}

function shapeOf(node: AnyStateNode): unknown {
  const { id, type, history, config } = node
  const transitions = [...node.transitions].map(([descriptor, list]) => [descriptor, list.map(leadsTo)] as const)
  // Sorted, because the order in the source means nothing: XState finds a transition by the name of its event.
  const taken = transitions.sort(([a], [b]) => (a < b ? -1 : 1))
  const always = (node.always ?? []).map(leadsTo)
  const invokes = node.invoke.map((invoke) => [invoke.id, invoke.src])
  const remembered = type === 'history' ? [history, (config as { readonly target?: unknown }).target] : []
  return [id, type, remembered, type === 'compound' ? leadsTo(node.initial) : [], taken, always, invokes]
}

function leadsTo({ target }: { readonly target?: readonly AnyStateNode[] | undefined }): readonly string[] {
  return (target ?? []).map(({ id }) => id)
}

const FNV_OFFSET = 0xcbf29ce484222325n
const FNV_PRIME = 0x100000001b3n

// A checksum, not a security measure: a collision only needs to be unlikely.
function fnv1a(text: string): string {
  let hash = FNV_OFFSET
  for (const byte of new TextEncoder().encode(text)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME)
  }
  return hash.toString(16).padStart(16, '0')
}
