import { SearchX } from "lucide-react";
import { EmptyState } from "@/components/app/empty-state";
import { Page } from "@/components/app/page";

/** For `notFound()` of a page: the shell stays. */
export default function NotFound() {
  return (
    <Page>
      <h1 className="sr-only">Not found</h1>
      <EmptyState icon={SearchX} title="Not found" description="What this address named has been deleted, or never was." />
    </Page>
  );
}
