import { spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import type { Writable } from 'node:stream'

/**
 * Kills the process groups that it was told of when its standard input ends, which it does when the engine's process
 * ends, by SIGKILL too. It answers each `+ group` with the group, so that a process begins only once it is guarded.
 */
const GUARD = `
groups=' '
while read -r what group; do
  case $what in
    +) groups="$groups$group "; echo "$group" ;;
    -) groups="\${groups%% $group *} \${groups#* $group }" ;;
  esac
done
for group in $groups; do kill -KILL "-$group"; done
`

/**
 * A shell beside the engine that outlives it for a moment, and leaves none of its processes behind. It stands in a
 * session of its own, so that a Ctrl-C in the terminal does not end it first. If it is killed itself, another takes its
 * place.
 */
export class ProcessGuard {
  readonly #groups = new Set<number>()
  #shell: { readonly stdin: Writable; readonly answers: Interface } | undefined
  readonly #waiting = new Map<number, () => void>()

  /** Guards a process group; resolves when it is guarded. */
  async guard(group: number): Promise<void> {
    this.#groups.add(group)
    const guarded = new Promise<void>((resolve) => this.#waiting.set(group, resolve))
    if (this.#shell === undefined) this.#start()
    else this.#tell('+', group)
    await guarded
  }

  /** The group has ended. */
  release(group: number): void {
    this.#groups.delete(group)
    this.#waiting.delete(group)
    this.#tell('-', group)
    if (this.#groups.size === 0) this.#end()
  }

  #start(): void {
    const shell = spawn('/bin/sh', ['-c', GUARD], { detached: true, stdio: ['pipe', 'pipe', 'ignore'] })
    const { stdin, stdout } = shell
    // Neither keeps this process alive: what is guarded does.
    shell.unref()
    for (const pipe of [stdin, stdout]) if ('unref' in pipe && typeof pipe.unref === 'function') pipe.unref()
    const answers = createInterface({ input: stdout }).on('line', (group) => {
      this.#waiting.get(Number(group))?.()
      this.#waiting.delete(Number(group))
    })
    const started = { stdin, answers }
    this.#shell = started
    // It says below that it is gone.
    stdin.on('error', () => {})
    shell.once('error', () => this.#gone(started)).once('exit', () => this.#gone(started))
    for (const group of this.#groups) this.#tell('+', group)
  }

  #gone(shell: object): void {
    if (this.#shell !== shell) return
    this.#shell = undefined
    if (this.#groups.size > 0) this.#start()
  }

  #tell(what: '+' | '-', group: number): void {
    this.#shell?.stdin.write(`${what} ${group}\n`)
  }

  #end(): void {
    const shell = this.#shell
    this.#shell = undefined
    shell?.answers.close()
    shell?.stdin.end()
  }
}
