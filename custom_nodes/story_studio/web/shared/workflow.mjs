/** The workflow that is open, of those in ComfyUI's tabs. */

/** The workflow of the open tab, which is the same object while the tab is open, also when it is renamed by saving it. */
export const openWorkflow = app => app.extensionManager.workflow?.activeWorkflow ?? app

/** The graph of the open workflow, of which subgraphs are a part. */
export const root = app => app.rootGraph ?? app.graph
