/** Whether the canvas is still what was read, when what was made of it is to be put there. */
import { t } from '../shared/words.mjs'
import { openWorkflow, root } from '../shared/workflow.mjs'

/** Why a change is not made. */
export const ANOTHER = 'Another workflow was opened meanwhile.'

/** What a workflow says, without what drawing it changes. */
export const content = state => JSON.stringify(state, (name, value) => (['size', 'bounding', 'ds'].includes(name) ? undefined : value))

/** Notes the canvas. The function that it returns throws a sentence once the canvas is another. */
export function noteCanvas(app) {
  const workflow = openWorkflow(app)
  const shown = content(root(app).serialize())
  return () => {
    if (openWorkflow(app) !== workflow) throw new Error(t(ANOTHER))
    if (content(root(app).serialize()) !== shown) throw new Error(t('The canvas was changed meanwhile: try again.'))
  }
}
