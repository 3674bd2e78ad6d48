// The hub: models and data sets by their id, from Hugging Face or a mirror, through the cache shared with Python.
export { datasetFiles, type DatasetFiles } from './dataset.js';
export { modelDirectory, type HubOptions } from './model.js';
