"""Several processes that train together: started, sharing steps, images and the model. Private."""
