/**
 * How much of the long tests runs: 1 is all, which is the default; `JOBCHART_SHARE=0.1` runs a tenth.
 *
 * A share makes random tests shorter. What is not random, such as the table of rights, always runs in full.
 */
const SHARE = Number(process.env.JOBCHART_SHARE ?? 1)

/** True unless only a share runs. */
export const isInFull = SHARE >= 1

/** So many of `count` runs, kills or batches are in the share. */
export function shareOf(count: number): number {
  return Math.max(1, Math.round(count * SHARE))
}
