/** Checks of a machine when its job type is defined, before any job exists. */
import type { AnyStateMachine, AnyStateNode } from 'xstate'
import type { EndLabels } from './end-labels.ts'
import { JobchartError } from './error.ts'
import { stateNodes } from './inert-machine.ts'
import type { Outcome } from './job.ts'
import type { ParsedRule } from './notification-rule.ts'
import { shownValue } from './option-checks.ts'

/** The implementations of a machine, by name. */
type Named = { readonly [Kind in 'actions' | 'actors' | 'delays' | 'guards']: { readonly [name: string]: unknown } }

/**
 * Refuses a machine that would break its jobs.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` a target state does not exist; a guard or a delay has no
 *   implementation; a delay is not a number; a spawned actor could not be found again after a crash; the tag of a final
 *   state is a misspelt outcome.
 */
export function checkMachine(type: string, machine: AnyStateMachine): void {
  // Cast, because XState types this property only for a machine whose generics are known.
  const named = machine.implementations as unknown as Named
  for (const node of stateNodes(machine.root)) checkNode(type, node, named)
  for (const action of Object.values(named.actions)) checkAction(type, action, named)
  for (const guard of Object.values(named.guards)) checkGuard(type, guard, named)
  for (const [name, delay] of Object.entries(named.delays)) checkDelay(type, name, delay)
}

/** Refuses a command that no state takes, or whose name is reserved. */
export function checkCommand(type: string, machine: AnyStateMachine, command: string): void {
  if (command === '*') throw broken(type, 'a command cannot be named "*"')
  if (command.startsWith('xstate.') || command.startsWith('task.')) {
    throw broken(
      type,
      `a command cannot be named "${command}": names that begin so are reserved for XState and the engine. Rename it`,
    )
  }
  const taken = (descriptor: string) =>
    descriptor === command ||
    descriptor === '*' ||
    (descriptor.endsWith('.*') && `${command}.`.startsWith(descriptor.slice(0, -1)))
  if (stateNodes(machine.root).some((node) => [...node.transitions.keys()].some(taken))) return
  throw broken(type, `no state takes the command "${command}". Add it to a state's "on", or leave it out of commands`)
}

/** Refuses a `meta.accepts` that is not a list of commands. A misspelt command in it would have no effect. */
export function checkAccepts(type: string, machine: AnyStateMachine, commands: object): void {
  for (const { id, meta } of stateNodes(machine.root)) {
    const accepts: unknown = meta?.accepts
    if (accepts === undefined) continue
    const isCommand = (each: unknown) => typeof each === 'string' && Object.hasOwn(commands, each)
    if (Array.isArray(accepts) && accepts.every(isCommand)) continue
    const known = Object.keys(commands).join(', ') || 'none'
    const expected = `a list of the type's commands (${known}), which are answered there and change nothing`
    throw broken(type, `meta.accepts of state "${id}" should be ${expected}; found ${JSON.stringify(accepts)}`)
  }
}

/** Refuses a notification rule on a status that no job of the type can have, e.g. a misspelt one. */
export function checkStatuses(
  type: string,
  machine: AnyStateMachine,
  others: Readonly<Required<EndLabels>>,
  rules: readonly Pick<ParsedRule, 'on'>[],
): void {
  const known = new Set([...labelsOf(machine.root), ...Object.values(others)])
  for (const [index, { on }] of rules.entries()) {
    // The names of parallel states are joined by ` + `.
    if (!('status' in on) || known.has(on.status) || on.status.split(' + ').every((each) => known.has(each))) continue
    const expected = `should be a label of the type: ${[...known].join(', ')}`
    throw broken(type, `notify.${index}.on.status ${expected}; found ${shownValue(on.status)}`)
  }
}

// The labels of a state and of the states in it: `meta.status`, or the keys of those leaves that have none.
function labelsOf(node: AnyStateNode, isLabelled = false): readonly string[] {
  const status: unknown = node.meta?.status
  const own = typeof status === 'string' ? [status.toWellFormed()] : []
  const isKnown = isLabelled || own.length > 0
  const inner = Object.values(node.states as { readonly [key: string]: AnyStateNode })
  if (inner.length === 0 && !isKnown) return [node.key.toWellFormed()]
  return [...own, ...inner.flatMap((each) => labelsOf(each, isKnown))]
}

// A final state without a tag for an outcome is a success. So a tag that was meant as one would make a failure a success.
function checkTags(type: string, node: AnyStateNode): void {
  if (node.type !== 'final' || tagsAbove(node).some((tag) => OUTCOMES.some((outcome) => outcome === tag))) return
  for (const tag of node.tags) {
    const meant = OUTCOMES.find((outcome) => MEANT[outcome].test(tag))
    if (meant === undefined) continue
    throw broken(type, `the final state "${node.id}" has the tag "${tag}", which is no outcome; write tags: '${meant}'`)
  }
}

function tagsAbove(node: AnyStateNode): readonly string[] {
  return [...node.tags, ...(node.parent === undefined ? [] : tagsAbove(node.parent))]
}

/** Tags that are likely meant as an outcome. */
const MEANT: { readonly [Each in Outcome]: RegExp } = {
  success: /^(success(ful)?|succe+ded)$/i,
  failure: /^(failures?|fail|failed|errors?|errored)$/i,
  cancelled: /^cancel(l?ed|l?ation)?$/i,
}
const OUTCOMES = ['success', 'failure', 'cancelled'] as const satisfies readonly Outcome[]

function checkNode(type: string, node: AnyStateNode, named: Named): void {
  checkTags(type, node)
  const transitions = [...transitionsOf(type, node)]
  for (const { guard } of transitions) checkGuard(type, guard, named)
  const actions = [...node.entry, ...node.exit, ...transitions.flatMap((each) => each.actions)]
  for (const action of actions) checkAction(type, action, named)
}

interface Transition {
  readonly guard?: unknown
  readonly actions: readonly unknown[]
}

function transitionsOf(type: string, node: AnyStateNode): readonly Transition[] {
  try {
    // XState resolves targets only when transitions are read. Reading them here finds targets that do not exist.
    const initial = node.type === 'compound' ? [node.initial] : []
    return [...[...node.transitions.values()].flat(), ...(node.always ?? []), ...initial] as readonly Transition[]
  } catch (error) {
    throw broken(type, error instanceof Error ? error.message : `state "${node.id}" cannot be read`)
  }
}

// Guards such as `and([...])` contain other guards, which are checked too. Only guards given by name can be missing.
function checkGuard(type: string, guard: unknown, named: Named): void {
  const { guards = [], type: name } = propertiesOf(guard)
  for (const part of Array.isArray(guards) ? guards : []) checkGuard(type, part, named)
  const wanted = typeof guard === 'string' ? guard : typeof guard === 'object' ? name : undefined
  if (typeof wanted !== 'string' || Object.hasOwn(named.guards, wanted)) return
  throw broken(type, `the guard "${wanted}" is not defined. Provide it in setup({ guards })`)
}

// XState fires a timer at once if its delay is not a number, e.g. if it is the text '10m'.
function checkDelay(type: string, name: string, delay: unknown): void {
  if (typeof delay === 'function' || (typeof delay === 'number' && !Number.isNaN(delay))) return
  const expected = 'a number of milliseconds, or a function that gives one'
  throw broken(type, `the delay "${name}" should be ${expected}; found ${shownValue(delay)}`)
}

function checkAction(type: string, action: unknown, named: Named): void {
  const { type: kind, src, delay } = propertiesOf(action)
  if (typeof action !== 'function') return
  if (typeof delay === 'string' && !Object.hasOwn(named.delays, delay)) {
    throw broken(type, `the delay "${delay}" is not defined. Provide it in setup({ delays })`)
  }
  if (kind !== 'xstate.spawnChild') return
  if (typeof src !== 'string') {
    throw broken(
      type,
      'spawnChild of logic that has no name: it could not be found again after a crash. ' +
        "Name it in setup({ actors }), and spawn it by that name, or make it a state's invoke",
    )
  }
  if (Object.hasOwn(named.actors, src)) return
  throw broken(type, `spawnChild of "${src}", which is not defined. Provide it in setup({ actors })`)
}

function propertiesOf(value: unknown): { readonly [name: string]: unknown } {
  const isObject = (typeof value === 'object' && value !== null) || typeof value === 'function'
  return isObject ? (value as { readonly [name: string]: unknown }) : {}
}

function broken(type: string, what: string): JobchartError {
  return new JobchartError('INVALID_DEFINITION', `job type "${type}": ${what}.`)
}
