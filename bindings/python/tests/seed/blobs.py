blob = sdk.put_blob_file("/tmp/chart.png")
await sdk.send_blob_ref("@vision_agent", blob, thread_id="media_ops_1")
