/** The story that the canvas shows, with what its workflow remembers of it. */
import { ask } from '../shared/server.mjs'
import { root } from '../shared/workflow.mjs'
import { withMemory } from './remembered.mjs'

/** Where a workflow remembers its story, in `graph.extra`. */
const MEMORY = 'story_studio'

/**
 * What a workflow remembers of its story, or nothing: `given`, the story's data that was put on the canvas; `then`, how
 * it was read there; `workflows`, the texts of its own recipes by their paths; `losses`, what had no place in a story
 * already then, as sentences; `profiles`, the settings that it had under other profiles.
 */
export const memoryOf = app => root(app).extra?.[MEMORY]

/** Makes a workflow remember a story: the open one, or one that will be opened. */
export function setMemory(workflow, memory) {
  workflow.extra[MEMORY] = memory
}

/**
 * Reads the canvas as story data.
 *
 * @param studio see `createStudio`.
 * @param fresh whether the canvas is read again first, which may have changed since it was.
 * @returns {Promise<{data: object, warnings: string[], losses: string[], faults: string[]}>} the story file's data; what
 *   is missing or wrong in it, as sentences; and those of them that say what of the graph has no place in a story, unless
 *   it had none when the story was put on the canvas, and for which it cannot be opened.
 * @throws {Error} the canvas has no scenes.
 */
export async function readStory(studio, fresh = true) {
  const { app } = studio
  if (fresh) await studio.refresh()
  else if (studio.model.problem) throw new Error(studio.model.problem)
  const prompt = fresh ? (await app.graphToPrompt()).output : studio.model.prompt
  const canvas = { prompt, keys: keysOf(studio) }
  const memory = memoryOf(app)
  const { data, warnings, losses, faults } = await complete(app, canvas, await read(app, canvas), memory)
  const isNew = sentence => !memory?.losses?.includes(sentence)
  return { data, warnings: warnings.filter(isNew), losses: losses.filter(isNew), faults }
}

/**
 * What a workflow is to remember of a story that it is made of; nothing if it cannot be read.
 *
 * @param canvas its boxes, as POST /story_studio/graph gives them.
 * @param given the story's data.
 * @param workflows the texts of its own recipes, by their paths.
 */
export async function remember(app, { nodes }, given, workflows) {
  const canvas = { prompt: nodes, keys: {} }
  try {
    const shown = await read(app, canvas)
    const memory = { given, then: shown.data, workflows }
    const { losses } = await complete(app, canvas, shown, memory)
    return { ...memory, losses }
  } catch (error) {
    console.warn('Story Studio:', error)
    return undefined
  }
}

async function read(app, canvas, known) {
  const { text, ...said } = await ask(app, 'story', { ...canvas, ...known })
  return { data: JSON.parse(text), ...said }
}

/** What was read, with what is remembered; the takes and what is lost are those of that story. */
async function complete(app, canvas, shown, memory) {
  const story = withMemory(shown.data, memory)
  return JSON.stringify(story) === JSON.stringify(shown.data) ? shown : read(app, canvas, { story, workflows: memory.workflows ?? {} })
}

/** The keys of the stills and clips that exist, by node id. */
function keysOf({ model }) {
  const keys = Object.entries(model.takes).map(([id, { key }]) => [id, key])
  return Object.fromEntries(keys.filter(([, key]) => key))
}
