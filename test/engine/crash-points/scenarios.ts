import { chartScenarios } from './charts.ts'
import { functionScenarios } from './functions.ts'
import type { Scenario } from './scenario.ts'
import { waitingScenarios } from './waiting.ts'

export const scenarios: readonly Scenario[] = [...functionScenarios, ...chartScenarios, ...waitingScenarios]
