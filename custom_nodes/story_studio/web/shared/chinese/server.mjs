/** Chinese for sentences of the server; see `shared/sentences.mjs`. */
import canvas from './server/canvas.mjs'
import comfyui from './server/comfyui.mjs'
import nodes from './server/nodes.mjs'
import reading from './server/reading.mjs'
import recipes from './server/recipes.mjs'
import recordings from './server/recordings.mjs'
import story from './server/story.mjs'

export default { ...canvas, ...comfyui, ...nodes, ...reading, ...recipes, ...recordings, ...story }
