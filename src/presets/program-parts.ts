import type { Program } from 'jobchart'

/** The parts of a program, each as a function of the input. `made` must be pure. */
export function partsOf(made: (input: unknown) => Program) {
  return {
    command: ({ input }: { readonly input: unknown }) => made(input).command,
    args: ({ input }: { readonly input: unknown }) => made(input).args,
    env: ({ input }: { readonly input: unknown }) => made(input).env,
    cwd: ({ input }: { readonly input: unknown }) => made(input).cwd,
    stdin: ({ input }: { readonly input: unknown }) => made(input).stdin,
  }
}
