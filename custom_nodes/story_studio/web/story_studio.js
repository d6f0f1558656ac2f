/** The storyboard panel, as an extension of ComfyUI's interface. */
import { app } from '../../scripts/app.js'
import { followCanvas } from './actions/edit.mjs'
import { acceptDrops } from './actions/story.mjs'
import { forgetOldValues } from './canvas/old_values.mjs'
import { createView } from './panel/panel.mjs'
import { speak, t } from './shared/words.mjs'
import { createStudio } from './state/studio.mjs'

const studio = createStudio(app)
let view = null

app.registerExtension({
  name: 'StoryStudio.Storyboard',
  setup() {
    speak(app.extensionManager.setting.get('Comfy.Locale'))
    studio.runs.listen()
    acceptDrops(studio)
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
        studio.refresh()
      },
      destroy() {
        view?.close()
        view = null
      },
    })
  },
  beforeConfigureGraph: graph => forgetOldValues([graph, ...(graph.definitions?.subgraphs ?? [])]),
  afterConfigureGraph: studio.refreshSoon,
  nodeCreated(node) {
    // Nodes 2.0 takes what a node with a VIDEO input shows for a video, if nothing else is said.
    if (node.comfyClass === 'StoryStudio_CheckClip') node.previewMediaType = 'image'
    // ComfyUI sets the values of a new box only after this event.
    if (node.subgraph) queueMicrotask(() => forgetOldValues([{ nodes: [node] }, node.subgraph]))
    studio.refreshSoon()
  },
})
