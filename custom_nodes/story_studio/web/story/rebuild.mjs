/** The story on the canvas, changed as data and put back in its place. */
import { ask } from '../shared/server.mjs'
import { workflowOf, PLACE } from './boxes.mjs'
import { filesIn, viewOf } from './open.mjs'
import { offer } from './upload.mjs'

/**
 * Reads the canvas as story data.
 *
 * @param studio see `createStudio`.
 * @returns {Promise<{data: object, warnings: string[]}>} the story file's data, and what has no place in it.
 * @throws {Error} the canvas has no scenes.
 */
export async function readStory(studio) {
  const { output } = await studio.app.graphToPrompt()
  const keys = Object.entries(studio.model.takes).map(([id, { key }]) => [id, key])
  const { text, warnings } = await ask(studio.app, 'story', { prompt: output, keys: Object.fromEntries(keys.filter(([, key]) => key)) })
  return { data: JSON.parse(text), warnings }
}

/**
 * Changes the story on the canvas, in the same tab and in one undo step. What did not change is not rendered again.
 *
 * @param studio see `createStudio`.
 * @param change a function of the story file's data that changes it, or returns other data; files are named as they
 *   are in ComfyUI's input folder.
 * @returns {Promise<string[]>} warnings, as sentences.
 * @throws {Error} everything that is wrong with the changed story; the canvas stays as it is.
 */
export async function rebuild(studio, change) {
  const { app } = studio
  const { data, warnings } = await readStory(studio)
  const changed = (await change(data)) ?? data
  const found = await ask(app, 'graph', { name: 'story.json', text: JSON.stringify(changed), files: {}, workflows: {} })
  offer(filesIn(found.canvas))
  const workflow = workflowOf(found.canvas, viewOf(app))
  keepPlaces(workflow, app.rootGraph ?? app.graph)
  await replace(app, workflow)
  await studio.refresh()
  return [...new Set([...warnings, ...found.warnings])]
}

/** Leaves nodes where the artist has put them, if each of them was there before. */
function keepPlaces(workflow, graph) {
  const before = new Map(graph.nodes.filter(node => node.properties?.[PLACE]).map(node => [node.properties[PLACE], node]))
  workflow.id = graph.id ?? workflow.id
  const { ds, ...extra } = graph.extra ?? {}
  Object.assign(workflow.extra, extra)
  if (!workflow.nodes.every(node => before.has(node.properties[PLACE]))) return
  for (const node of workflow.nodes) {
    const { pos, size, color, bgcolor } = before.get(node.properties[PLACE])
    Object.assign(node, { pos: [...pos], size: [...size] }, color && { color, bgcolor })
  }
  workflow.groups = graph.groups.map(group => group.serialize())
}

/** Puts a workflow into the open tab, in one undo step. */
async function replace(app, workflow) {
  const open = app.extensionManager.workflow.activeWorkflow
  const tracker = open.changeTracker
  const { initialState } = tracker
  const before = JSON.parse(JSON.stringify((app.rootGraph ?? app.graph).serialize()))
  await app.loadGraphData(workflow, true, false, open)
  // Loading begins a new history of changes; this is a change in the old one.
  Object.assign(tracker, { initialState })
  tracker.undoQueue.push(before)
  tracker.redoQueue.length = 0
  tracker.updateModified()
}
