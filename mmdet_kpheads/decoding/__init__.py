"""Maps to Detections of fixed size, for prediction, export and tests alike: no host-device sync."""
