"""From a trained ticket to a model that is smaller."""
