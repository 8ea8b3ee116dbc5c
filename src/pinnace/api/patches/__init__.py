"""The patch types of the API: JSON patch, merge patch and strategic merge patch; pure, inputs are never changed."""
