import { LoadingState } from "@/components/app/loading-state";
import { Page } from "@/components/app/page";

export default function Loading() {
  return (
    <Page>
      <LoadingState what="the page" shape="page" />
    </Page>
  );
}
