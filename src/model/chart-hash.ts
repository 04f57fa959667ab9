import type { AnyStateMachine, AnyStateNode } from 'xstate'
import { stateNodes } from './inert-machine.ts'

/**
 * Names the shape of a machine: what stored jobs of it refer to, or would miss. Its states, their events and where these
 * lead, its delays, its invokes. Not what its functions do, nor tags, labels and descriptions: a job that is stored can
 * live with a change of those.
 *
 * @returns 16 hexadecimal digits.
 */
export function chartHash(machine: AnyStateMachine): string {
  return fnv1a(JSON.stringify(stateNodes(machine.root).map(shapeOf)))
}

function shapeOf(node: AnyStateNode): unknown {
  const { id, type, history, config } = node
  const transitions = [...node.transitions].map(([descriptor, list]) => [descriptor, list.map(leadsTo)] as const)
  // A node takes an event by its name, whatever stands before it: to sort them in the source changes nothing.
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

// A checksum and no secret: whoever could make two machines collide could as well not change the version.
function fnv1a(text: string): string {
  let hash = FNV_OFFSET
  for (const byte of new TextEncoder().encode(text)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME)
  }
  return hash.toString(16).padStart(16, '0')
}
