/** The storyboard panel, as an extension of ComfyUI's interface. */
import { app } from '../../scripts/app.js'
import { followCanvas } from './actions/edit.mjs'
import { acceptDrops } from './actions/story.mjs'
import { forgetOldValues } from './canvas/old_values.mjs'
import { learnNodes, translateDefinition, translateSlots } from './canvas/own_language.mjs'
import { addSearchWords, shortenTitle } from './canvas/search_words.mjs'
import { leaveUndoToComfyUI } from './canvas/undo.mjs'
import { createView } from './panel/panel.mjs'
import { ask } from './shared/server.mjs'
import { learnSentences } from './shared/sentences.mjs'
import { speak, t } from './shared/words.mjs'
import { createStudio } from './state/studio.mjs'

const studio = createStudio(app)
let view = null

app.registerExtension({
  name: 'StoryStudio.Storyboard',
  // Before ComfyUI asks for its nodes, which list the files of the input folder. Without an answer it goes on.
  async init() {
    const parts = [ask(app, 'samples', {}), learnNodes(app, app.extensionManager.setting.get('Comfy.Locale'))]
    await Promise.all(parts.map(part => part.catch(error => console.info(error.message))))
  },
  beforeRegisterNodeDef: (_, definition) => translateDefinition(definition),
  // The first event for which the interface's language is known.
  beforeRegisterVueAppNodeDefs(definitions) {
    speak(app.extensionManager.setting.get('Comfy.Locale'))
    learnSentences()
    addSearchWords(definitions)
  },
  setup() {
    studio.runs.listen()
    app.api.addEventListener('graphChanged', studio.voices.watch)
    acceptDrops(studio)
    leaveUndoToComfyUI()
    // Files may have been deleted or replaced while another window was used.
    window.addEventListener('focus', studio.refreshSoon)
    followCanvas(studio)
    app.extensionManager.registerSidebarTab({
      id: 'story-studio',
      icon: 'pi pi-images',
      title: t('Storyboard'),
      label: t('Story'),
      tooltip: t('Storyboard: the scenes of this story'),
      type: 'custom',
      render(element) {
        // ComfyUI calls this again whenever it draws its sidebar, even between pressing and releasing the mouse.
        if (view?.element === element) return
        view?.close()
        view = createView(element, studio)
        // What ended while it was closed was not followed.
        studio.runs.sync()
        studio.refresh()
      },
      destroy() {
        view?.close()
        view = null
      },
    })
  },
  beforeConfigureGraph: graph => forgetOldValues([graph, ...(graph.definitions?.subgraphs ?? [])]),
  afterConfigureGraph() {
    studio.refreshSoon()
    studio.voices.watch()
  },
  nodeCreated(node) {
    // Nodes 2.0 takes what a node with a VIDEO input shows for a video, and all else for images.
    const shows = { StoryStudio_CheckClip: 'image', StoryStudio_Film: 'video' }[node.comfyClass]
    if (shows) node.previewMediaType = shows
    shortenTitle(node)
    translateSlots(node)
    // ComfyUI sets the values of a new box only after this event.
    if (node.subgraph) queueMicrotask(() => forgetOldValues([{ nodes: [node] }, node.subgraph]))
    studio.refreshSoon()
  },
})
