/**
 * Share of the long tests to run: 1 runs all and is the default; `JOBCHART_SHARE=0.1` runs a tenth.
 *
 * A share makes random tests shorter. Other tests, such as the table of rights, always run in full.
 */
const SHARE = Number(process.env.JOBCHART_SHARE ?? 1)

/** False if only a share runs. */
export const isInFull = SHARE >= 1

/** The part of `count` runs, kills or batches that is in the share. */
export function shareOf(count: number): number {
  return Math.max(1, Math.round(count * SHARE))
}
